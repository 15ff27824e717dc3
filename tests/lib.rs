//! Tests of the whole system: the API in `api/`, and its reliability in `gate/`.
