//! The simulator: core's own machines in a world made of numbers.
//!
//! What Mainstay decides lives in `mainstay_core`, which knows neither clocks nor sockets. So the very same
//! [`Call`](mainstay_core::Call) and [`Upstream`](mainstay_core::Upstream) can run here, on virtual time, in a world
//! of any size, a million calls in the time of a coffee; and what comes out holds for the real thing as far as the
//! world is like the real one.
//!
//! ```
//! use mainstay_sim::{Checks, Policy, Simulation, World};
//!
//! let world = World::parse(
//!     r#"
//!     [world]
//!     duration = "30s"
//!     [load]
//!     arrivals = "poisson"
//!     rate = 100
//!     [[endpoint]]
//!     name = "a"
//!     [[endpoint]]
//!     name = "b"
//!     [[fault]]
//!     at = "10s"
//!     for = "10s"
//!     endpoint = "a"
//!     what = "refuse"
//!     "#,
//!     None,
//! )?;
//! let report = Simulation::new(&world, &Policy::defaults(&world)?, Checks::Often).run();
//! assert!(report.success_percent() > 99.9);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In the order in which things meet:
//!
//! - [`world`]: what the user wrote; [`ready`]: worlds that come along; [`policy`]: what is tried in one
//! - `run`: the events, in the order of [`agenda`]; it drives the machines as the real driver does
//! - `arrivals`, `roads`, `server` (with the faults of `trouble`): what the world consists of
//! - `run::checks`: rules that must hold after each step, whatever happens
//! - [`outcome`]: what is counted, and what it means; [`tune`]: which numbers would serve better
//!
//! One seed decides everything. All arithmetic is whole numbers, or of the kind that IEEE 754 fixes (`exact`), and
//! nothing depends on the order of a hash: the same world gives the same bytes on every machine.
//!
//! What it deliberately leaves out: names, bytes, HTTP/2's shared connections, and limits of the pool. A request has one
//! connection to itself, and a connection one request at a time.

pub mod agenda;
mod arrivals;
pub mod exact;
pub mod outcome;
pub mod policy;
pub mod ready;
mod roads;
mod run;
mod server;
mod slab;
pub mod spread;
mod trouble;
pub mod tune;
pub mod world;

pub use agenda::Agenda;
pub use outcome::Report;
pub use policy::{Policy, PolicyError};
pub use run::{Checks, Entry, Happened, Journal, Simulation};
pub use spread::Spread;
pub use world::World;
