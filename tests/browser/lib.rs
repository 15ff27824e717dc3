//! Nothing: the browser is in the tests.
