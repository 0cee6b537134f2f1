"""The values that everything else is expressed in: a notebook as a `Dag`, an attempt as a `Job`, states and events."""
