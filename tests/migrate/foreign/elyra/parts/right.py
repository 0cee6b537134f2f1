words = open('../data.txt').read().split()
open('right.txt', 'w').write(words[-1])
