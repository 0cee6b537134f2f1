// Print how many bytes the page loads before it shows its first view: the entry, its style sheet, the modules that it
// imports at once, and those of the largest view.
import { readFileSync, statSync } from 'node:fs'

const { outputs } = JSON.parse(readFileSync(new URL('node_modules/.page.meta.json', import.meta.url), 'utf8'))
const size = (file) => statSync(new URL(file, import.meta.url)).size

function loaded(file, found = new Set()) {
  if (found.has(file)) return found
  found.add(file)
  for (const each of outputs[file].imports) if (each.kind === 'import-statement') loaded(each.path, found)
  return found
}

const entry = loaded('dist/page.js')
const views = outputs['dist/page.js'].imports.filter((each) => each.kind === 'dynamic-import')
const added = views.map(({ path }) =>
  [...loaded(path)].filter((file) => !entry.has(file)).reduce((sum, file) => sum + size(file), 0),
)
console.log([...entry, 'dist/page.css'].reduce((sum, file) => sum + size(file), 0) + Math.max(0, ...added))
