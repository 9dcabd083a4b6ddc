//! One call: what the application asked for, once.
