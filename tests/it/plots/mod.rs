//! Pictures and pages of every kind of input, as files and in a browser.

mod page;
mod pictures;
mod sources;
