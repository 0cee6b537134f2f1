// What a task put out. Nothing in it runs: HTML stands in a frame without scripts, drawings are images, the rest is text.
import { useRef, useState } from 'preact/hooks'
import type { Output } from './messages'

const TALLEST = 420

/** A page for a frame in which no script runs: no allow-scripts, and a policy that fetches nothing. */
export function page(html: string, ink: string, scheme: string): string {
  const policy =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; base-uri 'none'; form-action 'none'"
  return `<!doctype html><html lang="en"><head><meta http-equiv="Content-Security-Policy" content="${policy}"><title>Output</title><style>
:root{color-scheme:${scheme}}body{margin:0;font:13px system-ui,sans-serif;color:${ink};background:transparent}table{border-collapse:collapse;font-size:12px;border:0}
th,td{padding:3px 8px;text-align:right;border:0}thead{border-bottom:1px solid rgba(128,128,128,.6)}tbody tr:nth-child(odd){background:rgba(128,128,128,.12)}
img,svg{max-width:100%}</style></head><body>${html}</body></html>`
}

export function Outputs({ outputs, what }: { outputs: readonly Output[]; what: string }) {
  return (
    <div class="nbdag-outputs">
      {outputs.map((output, n) => (
        <OneOutput key={n} output={output} what={`${what}, output ${n + 1}`} />
      ))}
    </div>
  )
}

function OneOutput({ output, what }: { output: Output; what: string }) {
  const { mime, data } = output
  if (mime === 'text/html') return <Framed html={data} what={what} />
  if (mime === 'image/svg+xml') {
    return <img alt={what} src={`data:image/svg+xml;charset=utf-8,${encodeURIComponent(data)}`} />
  }
  if (mime.startsWith('image/')) return <img alt={what} src={`data:${mime};base64,${data}`} />
  const kind = mime === 'text/x-error' ? ' nbdag-error' : mime === 'text/x-stderr' ? ' nbdag-stderr' : ''
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <pre class={`nbdag-text${kind}`} tabIndex={0}>
      {data}
    </pre>
  )
}

function Framed({ html, what }: { html: string; what: string }) {
  const frame = useRef<HTMLIFrameElement>(null)
  const [height, setHeight] = useState(80)
  const style = frame.current ? getComputedStyle(frame.current) : undefined
  const srcdoc = page(html, style?.color || 'inherit', style?.colorScheme || 'light dark')
  function measure(): void {
    const element = frame.current
    const inside = element?.contentDocument
    if (!element || !inside) return
    // As the page around it: a frame of another scheme is painted on white, or on black.
    const { color, colorScheme } = getComputedStyle(element)
    inside.body.style.color = color
    inside.documentElement.style.colorScheme = colorScheme
    setHeight(Math.min(TALLEST, inside.documentElement.scrollHeight + 2))
  }
  return (
    <iframe
      ref={frame}
      title={what}
      sandbox="allow-same-origin"
      srcdoc={srcdoc}
      style={{ height: `${height}px` }}
      onLoad={measure}
    />
  )
}
