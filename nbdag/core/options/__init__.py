"""What a person may write in a header: the options, the types of their values, and the help on them."""
