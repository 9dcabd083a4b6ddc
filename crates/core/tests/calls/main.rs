//! Calls in virtual time: as dialogues whose every step is known, and under random news.

mod bodies;
mod deadlines;
mod hedges;
mod load;
mod random;
mod retries;
mod story;
mod uploads;
