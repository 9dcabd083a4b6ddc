//! Healing downloads by range requests: a broken answer to a GET goes on where it broke, on the same endpoint or, with the same
//! strong validator, on another one.
