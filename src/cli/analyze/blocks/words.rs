//! The flags of what is read, as words of a command.

use std::path::PathBuf;

use super::BlockArgs;

impl BlockArgs {
    /// What was typed of this, as words of a command: the files, and how they are read; not the
    /// model.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.inputs.iter().map(|input| input.display().to_string()).collect();
        words.extend(self.format.iter().flat_map(|format| ["--format".to_owned(), format.word().to_owned()]));
        words.extend(self.source_block.iter().flat_map(|tokens| ["--source-block".to_owned(), tokens.to_string()]));
        words
    }

    /// The files as they were typed.
    pub fn files(&self) -> &[PathBuf] {
        &self.inputs
    }
}
