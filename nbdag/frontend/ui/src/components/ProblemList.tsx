// The problems of a notebook, one sentence each. On request, the code of a problem is explained.

interface ProblemListProps {
  problems: readonly string[]
  explanations: Readonly<Record<string, string>> // key: problem code
}

export function ProblemList({ problems, explanations }: ProblemListProps) {
  return (
    <ul>
      {problems.map((problem) => {
        const code = /\bNB\d+\b/.exec(problem)?.[0] ?? ''
        const text = explanations[code]
        return (
          <li key={problem}>
            {problem}
            {text ? (
              <details class="nbdag-explanation">
                <summary>What {code} means</summary>
                <pre class="nbdag-explained">{text}</pre>
              </details>
            ) : null}
          </li>
        )
      })}
    </ul>
  )
}
