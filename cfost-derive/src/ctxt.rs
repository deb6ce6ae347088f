//! Collects errors, so that one compile shows all of them.

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::ToTokens;

/// The errors of one derive.
#[derive(Default)]
pub(crate) struct Ctxt {
    errors: Vec<syn::Error>,
}

impl Ctxt {
    /// An error on these tokens.
    pub(crate) fn error(&mut self, at: impl ToTokens, message: impl Display) {
        self.errors.push(syn::Error::new_spanned(at, message));
    }

    /// An error on these tokens, and what to do about it.
    pub(crate) fn help(&mut self, at: impl ToTokens, message: impl Display, help: impl Display) {
        self.error(at, format_args!("{message}\nhelp: {help}"));
    }

    /// An error from the parser.
    pub(crate) fn syntax(&mut self, error: syn::Error) {
        self.errors.push(error);
    }

    /// Keeps the value, or the parser's error.
    pub(crate) fn ok<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.syntax(error)).ok()
    }

    /// How many errors there are so far.
    pub(crate) fn len(&self) -> usize {
        self.errors.len()
    }

    /// The errors as `compile_error!`s, if there are any.
    pub(crate) fn finish(self) -> Option<TokenStream> {
        (!self.errors.is_empty()).then(|| self.errors.iter().map(syn::Error::to_compile_error).collect())
    }
}
