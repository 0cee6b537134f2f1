// The outputs of a task. No output can run code: HTML is shown in a frame without scripts, SVG as an image,
// and everything else as text.
import { useRef, useState } from 'preact/hooks'
import type { DisplayOutput, MimeType } from '../../messages'
import { Clip } from './Clip'

const MAX_HEIGHT = 20_000 // maximum height of a frame, in pixels

type Form = 'html' | 'svg' | 'image' | 'text' | 'stderr' | 'error'
const FORMS: Record<MimeType, Form> = {
  'text/html': 'html',
  'image/svg+xml': 'svg',
  'image/png': 'image',
  'image/jpeg': 'image',
  'image/gif': 'image',
  'image/webp': 'image',
  'text/markdown': 'text',
  'text/latex': 'text',
  'text/plain': 'text',
  'text/x-stderr': 'stderr',
  'text/x-error': 'error',
}
const TEXT_CLASSES: Partial<Record<Form, string>> = { error: ' nbdag-error', stderr: ' nbdag-stderr' }

/** Return a page for a sandboxed frame; its content security policy allows neither scripts nor requests. */
export function page(html: string, ink: string, scheme: string): string {
  const policy =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; base-uri 'none'; form-action 'none'"
  return `<!doctype html><html lang="en"><head><meta http-equiv="Content-Security-Policy" content="${policy}"><title>Output</title><style>
:root{color-scheme:${scheme}}body{margin:0;font:13px system-ui,sans-serif;color:${ink};background:transparent}table{border-collapse:collapse;font-size:12px;border:0}
th,td{padding:3px 8px;text-align:right;border:0}thead{border-bottom:1px solid rgba(128,128,128,.6)}tbody tr:nth-child(odd){background:rgba(128,128,128,.12)}
img,svg{max-width:100%}</style></head><body>${html}</body></html>`
}

export function Outputs({ outputs, label }: { outputs: readonly DisplayOutput[]; label: string }) {
  return (
    <div class="nbdag-outputs">
      {outputs.map((output, n) => (
        <Clip key={n} height={420}>
          <OneOutput output={output} label={`${label}, output ${n + 1}`} />
        </Clip>
      ))}
    </div>
  )
}

function OneOutput({ output, label }: { output: DisplayOutput; label: string }) {
  const { mime, data } = output
  // An output of an unknown type is shown as text, because text is safe.
  const form = Object.hasOwn(FORMS, mime) ? FORMS[mime] : 'text'
  if (form === 'html') return <HtmlFrame html={data} label={label} />
  if (form === 'svg') {
    return <img alt={label} src={`data:image/svg+xml;charset=utf-8,${encodeURIComponent(data)}`} />
  }
  if (form === 'image') return <img alt={label} src={`data:${mime};base64,${data}`} />
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
    <pre class={`nbdag-text${TEXT_CLASSES[form] ?? ''}`} tabIndex={0}>
      {data}
    </pre>
  )
}

function HtmlFrame({ html, label }: { html: string; label: string }) {
  const frame = useRef<HTMLIFrameElement>(null)
  const [height, setHeight] = useState(80)
  const style = frame.current ? getComputedStyle(frame.current) : undefined
  const srcdoc = page(html, style?.color || 'inherit', style?.colorScheme || 'light dark')
  function measure(): void {
    const element = frame.current
    const content = element?.contentDocument
    if (!element || !content) return
    // The frame must have the page's colour scheme, because otherwise the browser gives it an opaque background.
    const { color, colorScheme } = getComputedStyle(element)
    content.body.style.color = color
    content.documentElement.style.colorScheme = colorScheme
    setHeight(Math.min(MAX_HEIGHT, content.documentElement.scrollHeight + 2))
  }
  return (
    <iframe
      ref={frame}
      title={label}
      sandbox="allow-same-origin"
      srcdoc={srcdoc}
      style={{ height: `${height}px` }}
      onLoad={measure}
    />
  )
}
