// Icons in the colours of JupyterLab's theme.
import { LabIcon } from '@jupyterlab/ui-components'

const svg = (inner: string) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3" fill="none" stroke="#616161" stroke-width="2" stroke-linecap="round" stroke-linejoin="round">${inner}</g></svg>`

/** An icon of a graph: edges from two tasks to a third task. */
export const pipelineIcon = new LabIcon({
  name: 'nbdag:pipeline',
  svgstr: svg(
    '<rect x="2" y="3" width="7" height="6" rx="1.5"/><rect x="2" y="15" width="7" height="6" rx="1.5"/><rect x="15" y="9" width="7" height="6" rx="1.5"/><path d="M9 6h2.5v6H15M9 18h2.5v-6"/>',
  ),
})
export const tagIcon = new LabIcon({
  name: 'nbdag:tag',
  svgstr: svg('<path d="M3 4h8l10 10-7 7L3 11z"/><circle cx="7.5" cy="8" r="1"/>'),
})
export const runIcon = new LabIcon({
  name: 'nbdag:run',
  svgstr: svg('<rect x="2" y="8" width="7" height="8" rx="1.5"/><path d="M9 12h3M13 6l8 6-8 6z"/>'),
})
