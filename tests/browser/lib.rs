//! This library is empty: the package contains only tests.
