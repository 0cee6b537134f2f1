// Questions of tasks that wait for a person: yes runs the task, no skips it.
import { useState } from 'preact/hooks'
import type { OpenQuestion, QuestionList } from '../../api'
import { api } from '../api'
import { Link } from '../router'
import { Time } from '../Time'
import { notify, notifyError } from '../toasts'
import { runAddress } from '../transport'
import { useResource } from '../useResource'
import { instanceOf, taskPlace } from './links'

interface Props {
  dag: string
  run: string
  task?: string // only the questions of this task
  reload: () => void // called after an answer
}

export function Questions({ dag, run, task, reload }: Props) {
  const open = useResource<QuestionList>('questions', (change) => change.dag === dag && change.run === run)
  const mine = open.data?.items.filter(
    (each) => each.dag === dag && each.run === run && (task === undefined || instanceOf(each.task).task === task),
  )
  const answered = () => {
    open.reload()
    reload()
  }
  return (
    <>
      {mine?.map((each) => (
        <OneQuestion key={each.task} question={each} onAnswer={answered} />
      ))}
    </>
  )
}

function OneQuestion({ question, onAnswer }: { question: OpenQuestion; onAnswer: () => void }) {
  const { dag, run, task, text, asked, until } = question
  const [why, setWhy] = useState('')
  const [sent, setSent] = useState(false)
  const answer = (approved: boolean) => {
    setSent(true)
    api.post(runAddress(dag, run, 'approve'), { task, approved, why }).then(
      () => {
        notify(approved ? `${task} is approved and runs.` : `${task} is rejected and will be skipped.`)
        onAnswer()
      },
      (error) => {
        setSent(false)
        notifyError(error)
      },
    )
  }
  const { task: name, index } = instanceOf(task)
  return (
    <section class="run-question" aria-label={`Question of ${task}`}>
      <div>
        <b>{text}</b>
        <div class="nbdag-muted">
          <Link to={taskPlace(dag, run, name, index < 0 ? undefined : { index, number: 1 })}>{task}</Link> asked{' '}
          <Time at={asked} />
          {until === null ? null : (
            <>
              {' '}
              and fails <Time at={until} />
            </>
          )}
        </div>
      </div>
      <div class="run-answer">
        <input
          type="text"
          placeholder="Why (optional)"
          aria-label={`Why, for ${task}`}
          value={why}
          onInput={(event) => setWhy(event.currentTarget.value)}
        />
        <button type="button" class="nbdag-primary" disabled={sent} onClick={() => answer(true)}>
          Approve
        </button>
        <button type="button" disabled={sent} onClick={() => answer(false)}>
          Reject
        </button>
      </div>
    </section>
  )
}
