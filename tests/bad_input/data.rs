//! Data that is wrong, found while running.
