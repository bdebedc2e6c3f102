//! The TCP proxy: bytes both ways.
