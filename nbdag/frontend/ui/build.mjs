// Bundle each host of the front end: the widget and the page into dist/, the JupyterLab extension into labextensions/.
// `build.py` runs this when the package is built, `npm run build` by hand.
import { rmSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'
import { buildLab } from './lab.mjs'

const common = {
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'none',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  logLevel: 'warning',
}

rmSync('dist/chunks', { recursive: true, force: true }) // chunks carry hashes in their names, so old ones would stay
const [, page] = await Promise.all([
  build({ ...common, entryPoints: { widget: 'src/widget/widget.tsx' }, outdir: 'dist' }),
  // The page loads each view when it is first shown.
  build({
    ...common,
    entryPoints: { page: 'src/page/main.tsx' },
    outdir: 'dist',
    splitting: true,
    metafile: true,
    chunkNames: 'chunks/[name]-[hash]',
  }),
  buildLab(common),
])
writeFileSync('node_modules/.page.meta.json', JSON.stringify(page.metafile)) // for first_load.mjs
