// Bundle the JupyterLab extension into labextensions/nbdag/, which the wheel installs below share/jupyter.
//
// JupyterLab loads `remoteEntry` as a script, and expects a container of webpack's module federation. esbuild writes
// the extension as CommonJS; `lab/container.js` calls it with a `require` that returns JupyterLab's own modules. So no
// webpack is needed: the build takes a second, and the container is one kilobyte.
import { createHash } from 'node:crypto'
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { build, transform } from 'esbuild'

const TARGET = 'labextensions/nbdag'
const SHARED = /^(@jupyterlab|@lumino|@codemirror)\// // modules that JupyterLab provides

export async function buildLab(options) {
  const { outputFiles, metafile } = await build({
    ...options,
    entryPoints: { index: 'src/lab/index.ts' },
    outdir: TARGET,
    write: false,
    format: 'cjs',
    metafile: true,
    plugins: [
      {
        name: 'shared',
        setup: ({ onResolve }) => onResolve({ filter: SHARED }, ({ path }) => ({ path, external: true })),
      },
    ],
  })
  const [code, css] = ['.js', '.css'].map((end) => outputFiles.find(({ path }) => path.endsWith(end)).text)
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports)
  const modules = [...new Set(imports.filter(({ external }) => external).map(({ path }) => path))].sort()
  const style = `style.${digest(css)}.css`
  const container = await transform(await readFile('lab/container.js', 'utf8'), {
    minify: true,
    define: { MODULES: JSON.stringify(modules), STYLE: JSON.stringify(style) },
  })
  const script = `(()=>{function extension(require,module,exports){${code}}\n${container.code}})();\n`
  const entry = `remoteEntry.${digest(script)}.js`

  const described = JSON.parse(await readFile('lab/package.json', 'utf8'))
  described.version = (await readFile('../../../pyproject.toml', 'utf8')).match(/^version = "(.*)"/m)[1]
  described.jupyterlab._build = { load: `static/${entry}`, extension: './extension', style: './style' }
  await rm(TARGET, { recursive: true, force: true })
  await mkdir(`${TARGET}/static`, { recursive: true })
  await cp('lab/schema', `${TARGET}/schemas/nbdag`, { recursive: true })
  await cp('lab/install.json', `${TARGET}/install.json`)
  await writeFile(`${TARGET}/static/${style}`, css)
  await writeFile(`${TARGET}/static/${entry}`, script)
  await writeFile(`${TARGET}/package.json`, `${JSON.stringify(described, null, 2)}\n`)
}

/** Names contain a digest, because browsers keep the files of an extension in their caches. */
function digest(text) {
  return createHash('sha256').update(text).digest('hex').slice(0, 20)
}
