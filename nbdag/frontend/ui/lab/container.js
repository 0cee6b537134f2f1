// The container of module federation that JupyterLab loads. `lab.mjs` puts it into one function with `extension`, the
// bundle as a function of CommonJS, and replaces MODULES and STYLE.
window._JUPYTERLAB ??= {}
window._JUPYTERLAB.nbdag = (() => {
  const folder = document.currentScript.src.replace(/[^/]*$/, '')
  let scope // the shared modules: { name: { version: { get(), loaded } } }
  let exported // a promise of the extension

  /** Return a shared module, or undefined if this application does not have it, as Notebook 7 has no launcher. */
  async function shared(name) {
    const versions = Object.entries(scope[name] ?? {}).sort(
      ([one, { loaded: first }], [other, { loaded: second }]) =>
        !!second - !!first || other.localeCompare(one, 'en', { numeric: true }),
    )
    if (!versions.length) return undefined
    versions[0][1].loaded = 1 // webpack does the same: from now on all use this version
    return (await versions[0][1].get())()
  }

  async function load() {
    const modules = new Map(await Promise.all(MODULES.map(async (name) => [name, await shared(name)])))
    const module = { exports: {} }
    extension((name) => modules.get(name), module, module.exports)
    return module.exports
  }

  function addStyle() {
    return new Promise((resolve, reject) => {
      const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: folder + STYLE })
      link.onload = () => resolve({})
      link.onerror = () => reject(new Error('the style sheet of nbdag could not be loaded'))
      document.head.append(link)
    })
  }

  return {
    init(given) {
      scope = given
    },
    async get(name) {
      if (name === './extension') exported ??= load()
      const module = name === './style' ? await addStyle() : await exported
      return () => module
    },
  }
})()
