import { render } from 'preact'
import { act } from 'preact/test-utils'
import { describe, expect, it } from 'vitest'
import { Dialog } from './Dialog'
import { href, path } from './location'
import { match, type Route, resolve } from './router'
import { Sentence } from './states'
import { ago } from './Time'

const load = () => Promise.reject(new Error('not loaded'))
const route = (pattern: string): Route => ({ path: pattern, section: 'pipelines', title: () => pattern, load })

describe('the sentence of an error', () => {
  it('begins with a capital, ends with a full stop, and has commands as code', () => {
    const drawn = document.createElement('p')
    render(<Sentence text="no DAG 'x'; `nbdag list` shows them" />, drawn)
    expect(drawn.innerHTML).toBe("No DAG 'x'; <code>nbdag list</code> shows them.")
    render(<Sentence text="Sign in again." />, drawn)
    expect(drawn.textContent).toBe('Sign in again.')
  })
})

describe('the router', () => {
  it.each([
    ['/', '/', {}],
    ['/dags/:dag/:tab?', '/dags/churn', { dag: 'churn' }],
    ['/dags/:dag/:tab?', '/dags/churn/grid', { dag: 'churn', tab: 'grid' }],
    ['/dags/:dag/:tab?', '/dags/churn/grid/', { dag: 'churn', tab: 'grid' }],
    [
      '/dags/:dag/runs/:run',
      '/dags/a/runs/scheduled__2026-01-01T00%3A00%2B01%3A00',
      { dag: 'a', run: 'scheduled__2026-01-01T00:00+01:00' },
    ],
    ['/dags/:dag', '/dags', undefined],
    ['/dags/:dag', '/dags/a/b', undefined],
    ['/dags/:dag', '/dags/%zz', undefined],
    ['/assets', '/scheduler', undefined],
  ])('matches %s with %s', (pattern, place, params) => {
    expect(match(pattern, place)).toEqual(params)
  })

  it('takes the first route that matches, and ignores the query', () => {
    const routes = [route('/dags/:dag/runs/:run'), route('/dags/:dag/:tab?')]
    expect(resolve(routes, '/dags/a/grid?state=failed')?.route.path).toBe('/dags/:dag/:tab?')
    expect(resolve(routes, '/dags/a/runs/b')?.params).toEqual({ dag: 'a', run: 'b' })
    expect(resolve(routes, '/nowhere')).toBeUndefined()
  })

  it('writes addresses that it reads back, whatever the ids contain', () => {
    const place = path`/dags/${'a/b?c#d %'}/runs/${'x+y:z'}`
    expect(match('/dags/:dag/runs/:run', place)).toEqual({ dag: 'a/b?c#d %', run: 'x+y:z' })
    expect(href('/dags')).toBe('/nbdag/dags')
  })
})

describe('a dialog', () => {
  it('returns the focus to the element that had it', async () => {
    HTMLDialogElement.prototype.showModal = function () {
      this.querySelector('button')?.focus()
    }
    HTMLDialogElement.prototype.close = () => {} // as in a browser that has already removed the dialog
    const opener = document.body.appendChild(document.createElement('button'))
    const place = document.body.appendChild(document.createElement('div'))
    opener.focus()
    await act(() => render(<Dialog title="Runs" onClose={() => {}} children="" />, place))
    expect(document.activeElement?.getAttribute('aria-label')).toBe('Close')
    await act(() => render(null, place))
    expect(document.activeElement).toBe(opener)
  })
})

describe('times in words', () => {
  const now = new Date(2026, 2, 10, 12, 0).getTime() / 1000
  it.each([
    [0, 'just now'],
    [-42, '42 s ago'],
    [-600, '10 min ago'],
    [7200, 'in 2 h'],
    [9 * 3600, 'today 21:00'],
    [-24 * 3600, 'yesterday 12:00'],
    [24 * 3600, 'tomorrow 12:00'],
  ])('says %d seconds from now as %s', (distance, text) => {
    expect(ago(now + distance, now)).toBe(text)
  })
})
