//! What fields were in earlier versions: the `past` of columns and collections, and what was removed.

use proc_macro2::{Delimiter, Ident, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};

use crate::expand::synced::rule;
use crate::ir::forms::{Form, Line, Lines};
use crate::ir::model::{Field, Model, Rule};
use crate::ir::past::{Made, Removed, Step};

/// `.was(..)` of a column or a collection that was something else; nothing of one that always was what it is.
pub(crate) fn was(field: &Field, line: &Line<'_>, rt: &TokenStream) -> Option<TokenStream> {
    if line.steps.is_empty() {
        return None;
    }
    let op_name = &line.last().op_name;
    let past = if field.is_collection() { names(line, rt) } else { Column::of_field(field, line, rt).forms() };
    Some(quote!(.was(#op_name, &[#(#past),*])))
}

/// `ModelSchema::removed` and `ModelSchema::removed_collections`.
pub(crate) fn removed(model: &Model, lines: &Lines<'_>, rt: &TokenStream) -> (TokenStream, TokenStream) {
    let (collections, columns): (Vec<_>, Vec<_>) =
        model.removed.iter().zip(&lines.removed).partition(|(gone, _)| gone.rule().has_elements());
    let columns = columns.into_iter().map(|(gone, line)| {
        let column = Column::of_removed(gone, line, rt);
        let (last, before) = (column.removed(gone), column.forms());
        quote!(&[#last #(, #before)*])
    });
    let collections = collections.into_iter().map(|(gone, line)| collection(gone, line, rt));
    (quote!(&[#(#columns),*]), quote!(&[#(#collections),*]))
}

/// A collection that a version removed.
fn collection(gone: &Removed, line: &Line<'_>, rt: &TokenStream) -> TokenStream {
    let last = line.last();
    let (name, op_name, since, until) = (&last.name.text, &last.op_name, line.forms[0].since, last.until);
    let (names, versions) = (quote!((#name, #op_name)), quote!((#since, #until)));
    let collection = match &gone.ty {
        Some(ty) => {
            let tag = rule(gone.rule(), rt);
            quote!(#rt::RemovedCollection::of::<#ty, #tag>(#names, #versions))
        }
        None => {
            let rule = rule_name(gone.rule());
            quote!(#rt::RemovedCollection::untyped(#names, #rt::MergeRule::#rule, #versions))
        }
    };
    let past = self::names(line, rt);
    let was = (!past.is_empty()).then(|| quote!(.was(&[#(#past),*])));
    quote!(#collection #was)
}

/// The names that a collection had, newest first.
fn names(line: &Line<'_>, rt: &TokenStream) -> Vec<TokenStream> {
    let name = |(step, form): (&Step, &Form<'_>)| {
        let (name, until) = (&form.name.text, step.version.version);
        quote!(#rt::PastCollection { name: #name, until: #until })
    };
    line.steps.iter().zip(&line.forms).rev().map(name).collect()
}

/// A column whose past is written.
struct Column<'a> {
    line: &'a Line<'a>,
    /// The type of its last form, if the attributes say it.
    ty: Option<TokenStream>,
    rt: &'a TokenStream,
}

impl<'a> Column<'a> {
    fn of_field(field: &Field, line: &'a Line<'a>, rt: &'a TokenStream) -> Self {
        let ty = if line.rule == Rule::Text { quote!(#rt::String) } else { field.ty.to_token_stream() };
        Self { line, ty: Some(ty), rt }
    }

    fn of_removed(gone: &Removed, line: &'a Line<'a>, rt: &'a TokenStream) -> Self {
        let ty = match (line.rule, &gone.ty) {
            (Rule::Text, _) => Some(quote!(#rt::String)),
            (_, Some(ty)) => Some(ty.to_token_stream()),
            (Rule::Counter, None) => Some(quote!(#rt::i64)),
            (_, None) => None,
        };
        Self { line, ty, rt }
    }

    /// The forms before the last, newest first.
    fn forms(&self) -> Vec<TokenStream> {
        let before = self.line.steps.iter().enumerate().rev();
        before.map(|(at, step)| self.form(at, &self.change(at, step), functions(step))).collect()
    }

    /// The form that a version removed.
    fn removed(&self, gone: &Removed) -> TokenStream {
        let rt = self.rt;
        let constant = gone.filler.as_ref().and_then(|filler| Some((filler, filler.constant(&quote!(#rt::Constant))?)));
        let filler = match (constant, &self.ty) {
            (Some((filler, constant)), Some(ty)) => {
                let literal = &filler.value;
                quote!(#rt::Some({ let _: <#ty as #rt::Column>::Literal = #literal; #constant }))
            }
            _ => quote!(#rt::None),
        };
        self.form(self.line.steps.len(), &quote!(#rt::Change::Removed { filler: #filler }), None)
    }

    /// One form, as a `Past`. Its type is what the next upgrade takes, else the last form's.
    fn form(&self, at: usize, change: &TokenStream, functions: Option<String>) -> TokenStream {
        let (rt, form) = (self.rt, &self.line.forms[at]);
        let (name, op_name, since, until) = (&form.name.text, &form.op_name, form.since, form.until);
        let (names, versions) = (quote!((#name, #op_name)), quote!((#since, #until)));
        let rule = rule_name(form.rule);
        let past = match (self.line.upgrade_after(at).and_then(|upgrade| self.functions(upgrade)), &self.ty) {
            (Some((with, _)), _) => quote!(#rt::Past::taken(#names, #versions, #with, #change)),
            (None, Some(ty)) => quote!(#rt::Past::column::<#ty>(#names, #rt::MergeRule::#rule, #versions, #change)),
            (None, None) => quote!(#rt::Past::untyped(#names, #rt::MergeRule::#rule, #versions, #change)),
        };
        let by = functions.map(|functions| quote!(.by(#functions)));
        quote!(#past #by)
    }

    /// What a step made of a form.
    fn change(&self, at: usize, step: &Step) -> TokenStream {
        let rt = self.rt;
        match &step.made {
            Made::Renamed { .. } => quote!(#rt::Change::Renamed),
            Made::Rule { back, .. } => quote!(#rt::Change::Rule { back: #back }),
            Made::Upgraded { .. } => {
                let value = Ident::new("value", Span::mixed_site());
                let (with, back) = self.functions(at).unwrap_or_default();
                let back = back
                    .map_or_else(|| quote!(#rt::None), |back| quote!(#rt::Some(|#value| #rt::convert(#value, #back))));
                quote!(#rt::Change::Upgraded { with: |#value| #rt::convert(#value, #with), back: #back })
            }
        }
    }

    /// The functions of an upgrade. Each says the type of the other, and the field's type that of the last.
    fn functions(&self, at: usize) -> Option<(TokenStream, Option<TokenStream>)> {
        let rt = self.rt;
        let new = match &self.ty {
            Some(ty) if self.line.upgrade_after(at + 1).is_none() => ty.clone(),
            _ => quote!(_),
        };
        match &self.line.steps.get(at)?.made {
            Made::Upgraded { with, back: Some(back), .. } => {
                Some((quote!(#rt::both::<_, #new>(#with, #back)), Some(quote!(#rt::both::<#new, _>(#back, #with)))))
            }
            Made::Upgraded { with, back: None, .. } => Some((quote!(#rt::one::<_, #new>(#with)), None)),
            Made::Renamed { .. } | Made::Rule { .. } => None,
        }
    }
}

/// The variant of the runtime's `MergeRule`.
fn rule_name(rule: Rule) -> Ident {
    let name = match rule {
        Rule::Lww => "Lww",
        Rule::Counter => "Counter",
        Rule::Set => "Set",
        Rule::Map => "Map",
        Rule::List => "List",
        Rule::Text => "Text",
    };
    Ident::new(name, Span::call_site())
}

/// The functions of an upgrade, as the attribute names them.
fn functions(step: &Step) -> Option<String> {
    let Made::Upgraded { with, back, .. } = &step.made else {
        return None;
    };
    let back = back.as_ref().map(|back| format!(", back = {}", shown(back)));
    Some(format!("with = {}{}", shown(with), back.unwrap_or_default()))
}

/// The tokens on one line, spaced by rules of our own: rustc's change with its versions, and the text is recorded.
fn shown(tokens: &TokenStream) -> String {
    let mut text = String::new();
    let mut word = false;
    for token in tokens.clone() {
        match token {
            TokenTree::Ident(_) | TokenTree::Literal(_) => {
                if word {
                    text.push(' ');
                }
                text.push_str(&token.to_string());
                word = true;
            }
            TokenTree::Punct(punct) => {
                let spaced = matches!(punct.as_char(), ',' | ';') || punct.as_char() == ':' && !text.ends_with(':');
                text.push(punct.as_char());
                if spaced && punct.spacing() == Spacing::Alone {
                    text.push(' ');
                }
                word = false;
            }
            TokenTree::Group(group) => {
                let inner = shown(&group.stream());
                text.push_str(&match group.delimiter() {
                    Delimiter::Parenthesis => format!("({inner})"),
                    Delimiter::Bracket => format!("[{inner}]"),
                    Delimiter::Brace => format!(" {{ {inner} }}"),
                    Delimiter::None => inner,
                });
                word = true;
            }
        }
    }
    text
}
