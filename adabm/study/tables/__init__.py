"""Tables: schema, summaries, how people read them."""
