import { render } from 'preact'
import { describe, expect, it } from 'vitest'
import { blocksOf, Markdown } from './Markdown'

function html(text: string): string {
  const element = document.createElement('div')
  render(<Markdown text={text} />, element)
  return element.innerHTML
}

describe('text cells', () => {
  it('divides a text into blocks', () => {
    const text =
      '# Title\n\nOne\nparagraph.\n\n- a\n  more\n- b\n\n1. c\n\n> said\n> so\n\n```console\n$ x\n```\n\n| t |\n| - |\nend'
    expect(blocksOf(text)).toEqual([
      { kind: 'heading', text: 'Title' },
      { kind: 'paragraph', text: 'One paragraph.' },
      { kind: 'list', ordered: false, items: ['a more', 'b'] },
      { kind: 'list', ordered: true, items: ['c'] },
      { kind: 'quote', text: 'said so' },
      { kind: 'code', text: '$ x' },
      { kind: 'code', text: '| t |\n| - |' },
      { kind: 'paragraph', text: 'end' },
    ])
  })

  it.each([
    ['a **b** and `c*d*`', '<p>a <b>b</b> and <code>c*d*</code></p>'],
    ['*so* snake_case_name', '<p><em>so</em> snake_case_name</p>'],
    ['[site](https://a.b/c)', '<p><a href="https://a.b/c" target="_blank" rel="noreferrer">site</a></p>'],
    ['[x](javascript:alert(1))', '<p>[x](javascript:alert(1))</p>'],
    ['<img src=x onerror=alert(1)>', '<p>&lt;img src=x onerror=alert(1)&gt;</p>'],
    ['```\nnever closed', '<pre>never closed</pre>'],
  ])('shows %j', (text, shown) => expect(html(text)).toBe(shown))
})
