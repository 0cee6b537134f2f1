// Bundle each host of the front end into dist/. `build.py` runs this when the package is built, `npm run
// build` by hand.
import { build } from 'esbuild'

await build({
  entryPoints: { widget: 'src/widget/widget.tsx' },
  outdir: 'dist',
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'none',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  logLevel: 'warning',
})
