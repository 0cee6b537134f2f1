if __name__ == '__main__':
    halves = [open(f'parts/{name}.txt').read() for name in ('left', 'right')]
    open('report.txt', 'w').write('|'.join(halves))
