// Light and dark: the system's choice, unless the viewer has chosen.
export type Theme = 'auto' | 'light' | 'dark'
const KEY = 'nbdag-theme'

export function savedTheme(): Theme {
  try {
    const saved = localStorage.getItem(KEY)
    return saved === 'light' || saved === 'dark' ? saved : 'auto'
  } catch {
    return 'auto' // storage is not allowed
  }
}

/** Show this theme, and remember it. The style sheets read the attribute of the root element. */
export function setTheme(theme: Theme): void {
  if (theme === 'auto') document.documentElement.removeAttribute('theme')
  else document.documentElement.setAttribute('theme', theme)
  try {
    localStorage.setItem(KEY, theme)
  } catch {
    // The theme is then only that of this page.
  }
}
