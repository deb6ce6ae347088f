//! What the attributes of a type say, each thing with the tokens that say it, for errors.

pub(crate) mod forms;
pub(crate) mod model;
pub(crate) mod past;
pub(crate) mod value;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::Generics;

use crate::attr::Opt;
use crate::ctxt::Ctxt;

/// Refuses an option that is there twice.
#[derive(Default)]
pub(crate) struct Once(Vec<String>);

impl Once {
    /// Whether this is the option's first appearance; if it isn't, says so.
    pub(crate) fn first(&mut self, opt: &Opt, cx: &mut Ctxt) -> bool {
        let name = opt.name();
        let first = !self.0.contains(&name);
        if first {
            self.0.push(name);
        } else {
            cx.help(&opt.key, format_args!("'{name}' is there twice"), "keep one");
        }
        first
    }
}

/// `crate = path`
pub(crate) fn krate(opt: &Opt, cx: &mut Ctxt) -> Option<TokenStream> {
    opt.path(cx).map(|path| path.into_token_stream())
}

/// Refuses generic parameters: a table has one shape.
pub(crate) fn refuse_generics(generics: &Generics, cx: &mut Ctxt) {
    if !generics.params.is_empty() {
        cx.help(
            generics,
            "generic parameters are not supported: a table has one shape",
            "derive for a struct with concrete types, and convert",
        );
    } else if let Some(clause) = &generics.where_clause {
        cx.error(clause, "a `where` clause is not supported: a table has one shape");
    }
}
