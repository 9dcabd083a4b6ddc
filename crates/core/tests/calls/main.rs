//! Calls in virtual time: as dialogues whose every step is known, and under random news.

mod aws;
mod bodies;
mod dark;
mod deadlines;
mod hedges;
mod load;
mod random;
mod retries;
mod story;
mod uploads;
