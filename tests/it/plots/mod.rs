//! Pictures and pages of every kind of input, as files and in a browser.

mod doubts;
mod page;
mod pictures;
mod sources;
