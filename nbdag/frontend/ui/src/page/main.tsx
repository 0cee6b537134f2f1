// The page that the server extension serves: it starts the stream of changes and shows the shell.
import { render } from 'preact'
import '../components/style.css'
import '../components/log/log.css'
import './page.css'
import './run/run.css'
import { live } from './live'
import { Shell } from './shell'
import { savedTheme, setTheme } from './theme'

setTheme(savedTheme())
const root = document.getElementById('nbdag') ?? document.body.appendChild(document.createElement('div'))
root.classList.add('nbdag-root')
root.replaceChildren()
render(<Shell />, root)
live.start()
