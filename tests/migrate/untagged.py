"""Untagged notebooks in the styles of Kaggle, courses and laboratories, as lists of cells; "# …" cells are markdown."""

from __future__ import annotations

KAGGLE = [
    "# House prices",
    "import numpy as np\nimport pandas as pd\nimport matplotlib.pyplot as plt\n%matplotlib inline\n"
    "import warnings\nwarnings.filterwarnings('ignore')",
    "!echo pip install seaborn",
    "pd.set_option('display.max_columns', 30)",
    "SEED = 7\nTEST_SIZE = 0.25\nN_ROWS = 200",
    "## 1. Load the data",
    "rng = np.random.default_rng(SEED)\ntrain = pd.DataFrame({'area': rng.uniform(40, 200, N_ROWS), "
    "'rooms': rng.integers(1, 7, N_ROWS), 'year': rng.integers(1900, 2020, N_ROWS)})",
    "train['price'] = 1000 * train.area + 5000 * train.rooms + rng.normal(0, 9000, N_ROWS)",
    "train.loc[::17, 'year'] = np.nan",
    "train.head()",
    "train.shape",
    "train.info()",
    "train.describe()",
    "## 2. Explore",
    "plt.hist(train.price, bins=20)\nplt.title('Price')\nplt.show()",
    "print(train.isnull().sum())",
    "corr = train.corr()\ncorr['price'].sort_values(ascending=False)",
    "fig, ax = plt.subplots()\nax.scatter(train.area, train.price)\nplt.show()",
    "## 3. Clean",
    "train['year'] = train['year'].fillna(train['year'].median())",
    "train['age'] = 2024 - train['year']",
    "train = train.drop(columns=['year'])",
    "train.head(3)",
    "## 4. Model",
    "from sklearn.linear_model import LinearRegression, Ridge\nfrom sklearn.ensemble import RandomForestRegressor\n"
    "from sklearn.metrics import mean_absolute_error\nfrom sklearn.model_selection import train_test_split",
    "X = train.drop(columns=['price'])\ny = train['price']",
    "X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=TEST_SIZE, random_state=SEED)\n"
    "print(X_train.shape, X_test.shape)",
    "def score(model):\n    return round(mean_absolute_error(y_test, model.predict(X_test)), 3)",
    "linear = LinearRegression().fit(X_train, y_train)\nprint('linear', score(linear))",
    "ridge = Ridge(alpha=10).fit(X_train, y_train)\nprint('ridge', score(ridge))",
    "%%time\nforest = RandomForestRegressor(n_estimators=10, random_state=SEED)\nforest.fit(X_train, y_train)\n"
    "forest_score = score(forest)",
    "results = pd.DataFrame({'model': ['linear', 'ridge', 'forest'], "
    "'mae': [score(linear), score(ridge), forest_score]}).sort_values('mae')\nresults",
    "results.plot.bar(x='model')\nplt.show()",
    "## 5. Submission",
    "submission = pd.DataFrame({'id': X_test.index, 'price': forest.predict(X_test)})\n"
    "submission.to_csv('submission.csv', index=False)",
    "print(pd.read_csv('submission.csv').shape)",
]

COURSE = [
    "# Week 3: gradient descent",
    "In this exercise you implement gradient descent. Run the cells from top to bottom.",
    "import math\nimport random",
    "## Exercise 1",
    "def f(x):\n    return (x - 3) ** 2 + 1",
    "def gradient(x):\n    return 2 * (x - 3)",
    "f(0), gradient(0)",
    "learning_rate = 0.1\nsteps = 50",
    "x = 0.0\nfor _ in range(steps):\n    x = x - learning_rate * gradient(x)\nprint(round(x, 4))",
    "assert abs(x - 3) < 0.01",
    "## Exercise 2: a line through points",
    "random.seed(1)",
    "points = [(n / 10, 2 * n / 10 + 1 + random.gauss(0, 0.1)) for n in range(50)]",
    "points[:3]",
    "noise = [random.gauss(0, 1) for _ in range(3)]\nprint([round(each, 3) for each in noise])",
    "w, b = 0.0, 0.0",
    "def loss(w, b):\n    return sum((w * x + b - y) ** 2 for x, y in points) / len(points)",
    "loss(w, b)",
    "history = []\nfor step in range(200):\n    dw = sum(2 * (w * px + b - py) * px for px, py in points) / len(points)\n"
    "    db = sum(2 * (w * px + b - py) for px, py in points) / len(points)\n    w -= 0.02 * dw\n    b -= 0.02 * db\n"
    "    history.append(loss(w, b))",
    "print(round(w, 3), round(b, 3))\nprint(round(history[-1], 4))",
    "## Exercise 3: words",
    "text = 'the quick brown fox jumps over the lazy dog the end'",
    "counts = {}\nfor word in text.split():\n    counts[word] = counts.get(word, 0) + 1",
    "counts['the']",
    "most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))\nmost[:3]",
    "longest = max(counts, key=len)\nprint(longest)",
    "## Summary",
    "print(f'{x:.2f} {w:.2f} {most[0][0]} {math.floor(b)}')",
]

LAB = [
    "# Calibration of sensor B, 12 March",
    "import numpy as np\nfrom pathlib import Path",
    "DATA = Path('data')\nDATA.mkdir(exist_ok=True)",
    "GAIN = 2.5\nOFFSET = 0.3\nchannels = ['a', 'b', 'c']",
    "## Raw",
    "t = np.linspace(0, 1, 100)",
    "raw = {}\nfor n, channel in enumerate(channels):\n    raw[channel] = GAIN * np.sin(2 * np.pi * (n + 1) * t) + OFFSET",
    "raw['a'][:3]",
    "np.save(DATA / 'raw_a.npy', raw['a'])",
    "## Filter",
    "kernel = np.ones(5) / 5\nsmooth = {channel: np.convolve(values, kernel, 'same') for channel, values in raw.items()}",
    "smooth['a'].std()",
    "for channel in channels:\n    smooth[channel] -= smooth[channel].mean()",
    "peaks = {channel: float(values.max()) for channel, values in smooth.items()}\npeaks",
    "## Spectrum",
    "spectrum = {channel: np.abs(np.fft.rfft(values)) for channel, values in raw.items()}",
    "main = {channel: int(values[1:].argmax()) + 1 for channel, values in spectrum.items()}\nprint(main)",
    "## Noise",
    "generator = np.random.default_rng(0)",
    "noise = generator.normal(size=100)",
    "more = generator.normal(size=3)\nprint(more.round(3))",
    "snr = {channel: float(values.std() / noise.std()) for channel, values in smooth.items()}",
    "snr",
    "## Report",
    "again = np.load(DATA / 'raw_a.npy')\nprint(again.shape, round(float(again.mean()), 3))",
    "lines = [f'{channel}: {peaks[channel]:.2f} {main[channel]} {snr[channel]:.1f}' for channel in channels]",
    "(DATA / 'report.txt').write_text('\\n'.join(lines))\nprint('\\n'.join(lines))",
    "%whos",
]

NOTEBOOKS = {"kaggle": KAGGLE, "course": COURSE, "lab": LAB}
