// The settings of the extension: see lab/schema/plugin.json.
export interface Settings {
  badges: boolean
  problems: boolean
  loadInKernel: boolean
  status: boolean
}

/** Return those settings that have a value of the right type. */
export function readSettings(given: Record<string, unknown>): Partial<Settings> {
  const found: Partial<Settings> = {}
  for (const name of ['badges', 'problems', 'loadInKernel', 'status'] as const) {
    const value = given[name]
    if (typeof value === 'boolean') found[name] = value
  }
  return found
}
