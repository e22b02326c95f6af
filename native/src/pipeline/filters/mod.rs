//! To come with its stage.
