//! The behaviour of the whole, through the handlers, over a real world: see `api/`.
