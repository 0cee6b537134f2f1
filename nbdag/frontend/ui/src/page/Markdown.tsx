// Text cells of a notebook: headings, paragraphs, lists, quotations, code, emphasis and links of Markdown. HTML, tables
// and pictures are shown as they were written, so that a notebook cannot put elements of its own into the page.
import type { ComponentChildren } from 'preact'

export type Block =
  | { kind: 'heading' | 'paragraph' | 'quote'; text: string }
  | { kind: 'code'; text: string }
  | { kind: 'list'; ordered: boolean; items: string[] }

const FENCE = /^\s*(```+|~~~+)/
const HEADING = /^#{1,6}\s+(.*?)\s*#*$/
const ITEM = /^\s{0,3}(?:[-*+]|(\d+)[.)])\s+(.*)$/
const QUOTE = /^\s{0,3}>\s?(.*)$/
const TABLE = /^\s*\|/
// Code, strong text, emphasis, and links to the web.
const INLINE = /(`+)(.+?)\1|\*\*(.+?)\*\*|__(.+?)__|\*([^\s*].*?)\*|\b_([^_]+)_\b|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/

/** Return the blocks of a text. */
export function blocksOf(text: string): Block[] {
  const blocks: Block[] = []
  const lines = text.split('\n')
  for (let n = 0; n < lines.length; n += 1) {
    const line = lines[n] ?? ''
    const fence = FENCE.exec(line)?.[1]
    if (fence) {
      const end = lines.findIndex((each, at) => at > n && each.trim().startsWith(fence))
      const last = end < 0 ? lines.length : end
      blocks.push({ kind: 'code', text: lines.slice(n + 1, last).join('\n') })
      n = last
      continue
    }
    const heading = HEADING.exec(line)
    const item = ITEM.exec(line)
    const quote = QUOTE.exec(line)
    const before = blocks.at(-1)
    const continues = n > 0 && lines[n - 1]?.trim() !== '' // whether the line continues the block above it
    if (!line.trim()) continue
    if (heading) blocks.push({ kind: 'heading', text: heading[1] ?? '' })
    else if (TABLE.test(line)) {
      if (continues && before?.kind === 'code') before.text += `\n${line}`
      else blocks.push({ kind: 'code', text: line })
    } else if (item) {
      const ordered = item[1] !== undefined
      if (before?.kind === 'list' && before.ordered === ordered) before.items.push(item[2] ?? '')
      else blocks.push({ kind: 'list', ordered, items: [item[2] ?? ''] })
    } else if (quote) {
      if (continues && before?.kind === 'quote') before.text += ` ${quote[1]}`
      else blocks.push({ kind: 'quote', text: quote[1] ?? '' })
    } else if (continues && before?.kind === 'list')
      before.items[before.items.length - 1] = `${before.items.at(-1)} ${line.trim()}`
    else if (continues && before?.kind === 'paragraph') before.text += ` ${line.trim()}`
    else blocks.push({ kind: 'paragraph', text: line.trim() })
  }
  return blocks
}

export function Markdown({ text }: { text: string }) {
  return (
    <>
      {blocksOf(text).map((block, n) => (
        <BlockView key={n} block={block} />
      ))}
    </>
  )
}

function BlockView({ block }: { block: Block }) {
  switch (block.kind) {
    case 'heading':
      return <strong class="pg-heading">{inline(block.text)}</strong>
    case 'code':
      return <pre>{block.text}</pre>
    case 'quote':
      return <blockquote>{inline(block.text)}</blockquote>
    case 'list': {
      const items = block.items.map((each, n) => <li key={n}>{inline(each)}</li>)
      return block.ordered ? <ol>{items}</ol> : <ul>{items}</ul>
    }
    default:
      return <p>{inline(block.text)}</p>
  }
}

function inline(text: string): ComponentChildren {
  const found = INLINE.exec(text)
  if (!found) return text
  const [all, , code, strong, strong2, soft, soft2, label, to] = found
  return (
    <>
      {text.slice(0, found.index)}
      {code !== undefined ? (
        <code>{code}</code>
      ) : to !== undefined ? (
        <a href={to} target="_blank" rel="noreferrer">
          {inline(label ?? '')}
        </a>
      ) : (strong ?? strong2) !== undefined ? (
        <b>{inline(strong ?? strong2 ?? '')}</b>
      ) : (
        <em>{inline(soft ?? soft2 ?? '')}</em>
      )}
      {inline(text.slice(found.index + all.length))}
    </>
  )
}
