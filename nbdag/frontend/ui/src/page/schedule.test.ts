import cronstrue from 'cronstrue'
import { describe, expect, it } from 'vitest'
import { inWords } from './schedule'

const describeCron = (cron: string) => cronstrue.toString(cron, { use24HourTimeFormat: true, verbose: false })

describe('schedules in words', () => {
  it.each([
    [null, 'UTC', 'on request'],
    ['0 6 * * 1-5', 'Europe/Paris', 'weekdays at 06:00, Paris'],
    ['0 6 * * mon-fri', 'America/New_York', 'weekdays at 06:00, New York'],
    ['30 7 * * *', 'UTC', 'daily at 07:30, UTC'],
    ['@daily', 'UTC', 'daily at 00:00, UTC'],
    ['0 2 * * mon', 'UTC', 'Mondays at 02:00, UTC'],
    ['0 9 * * sat,sun', 'UTC', 'weekends at 09:00, UTC'],
    ['0 6 1 * *', 'UTC', 'first of the month at 06:00, UTC'],
    ['0 6 13 * 5', 'UTC', 'on day 13 of the month or on Friday, at 06:00, UTC'],
    ['0 6 1 * 1-5', 'UTC', 'on day 1 of the month or on Monday through Friday, at 06:00, UTC'],
    ['*/15 * * * *', 'UTC', 'every 15 minutes'],
    ['0 6,18 * * *', 'UTC', 'daily at 06:00 and 18:00, UTC'],
    ['every 15m', 'UTC', 'every 15m'],
    ['on s3://lake/orders', 'UTC', 'on s3://lake/orders'],
    ['@once', 'UTC', 'once'],
  ])('says %s in %s as %s', (schedule, tz, words) => {
    expect(inWords(schedule, tz, describeCron)).toBe(words)
  })

  it('shows an expression as it is until its description is loaded, or if it has none', () => {
    expect(inWords('0 6 * * *', 'UTC', undefined)).toBe('0 6 * * *')
    const fails = () => {
      throw new Error('unreadable')
    }
    expect(inWords('0 6 * * *', 'UTC', fails)).toBe('0 6 * * *')
  })
})
