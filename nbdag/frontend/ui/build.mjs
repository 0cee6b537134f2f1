// Bundle each host of the front end: the widget into dist/, the JupyterLab extension into labextension/. `build.py`
// runs this when the package is built, `npm run build` by hand.
import { build } from 'esbuild'
import { buildLab } from './lab.mjs'

const options = {
  bundle: true,
  target: 'es2022',
  minify: true,
  legalComments: 'none',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  logLevel: 'warning',
}

await Promise.all([
  build({ ...options, entryPoints: { widget: 'src/widget/widget.tsx' }, outdir: 'dist', format: 'esm' }),
  buildLab(options),
])
