//! CFOST.
