// The table of all places of the page. A view is a module whose default export takes the parameters of its path; it
// is loaded when it is first shown. To add a view, add a line here; the first line that matches wins.
import type { Route } from './router'

export const routes: readonly Route[] = [
  { path: '/', section: 'pipelines', title: () => 'Pipelines', load: () => import('./pipelines/Pipelines') },
  {
    path: '/dags/:dag/runs/:run/tasks/:task',
    section: 'pipelines',
    title: ({ dag, task }) => `${task} of ${dag}`,
    load: () => import('./task/Task'),
  },
  {
    path: '/dags/:dag/runs/:run/:tab?/:other?',
    section: 'pipelines',
    title: ({ dag, run }) => `${run} of ${dag}`,
    load: () => import('./run/Run'),
  },
  {
    path: '/dags/:dag/:tab?',
    section: 'pipelines',
    title: ({ dag = '' }) => dag,
    load: () => import('./pipeline/Pipeline'),
  },
  {
    path: '/scheduler',
    section: 'scheduler',
    title: () => 'Scheduler',
    load: () => import('./scheduler/Scheduler'),
  },
  { path: '/assets', section: 'assets', title: () => 'Assets', load: () => import('./assets/Assets') },
]
