"""Questions about runs. They read the store, and neither write, recover nor notify."""
