//! Establishing: from a host name to a connection that can carry requests.
