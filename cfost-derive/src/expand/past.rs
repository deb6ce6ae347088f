//! What fields were in earlier versions: the `past` of columns and collections, and what was removed.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::spanned::Spanned;

use crate::attr::shown;
use crate::expand::synced::{assertion, located, rule};
use crate::ir::forms::{Form, Line, Lines};
use crate::ir::model::{Field, Model, Rule};
use crate::ir::past::{Made, Removed, Step};

/// `.was(..)` of a column or a collection that was something else; nothing of one that always was what it is.
pub(crate) fn was(field: &Field, line: &Line<'_>, rt: &TokenStream) -> Option<TokenStream> {
    if line.steps.is_empty() {
        return None;
    }
    let (op_name, past) = (&line.last().op_name, past(field, line, rt));
    Some(quote!(.was(#op_name, &[#(#past),*])))
}

/// What a column or a collection was, newest first.
pub(crate) fn past(field: &Field, line: &Line<'_>, rt: &TokenStream) -> Vec<TokenStream> {
    if field.is_collection() { names(line, rt) } else { Column::of_field(field, line, rt).forms() }
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

/// What rustc is to make sure of, since only the types say it: older versions can read what newer ones write, and each
/// upgrade takes what the one before makes.
pub(crate) fn readable(model: &Model, lines: &Lines<'_>, rt: &TokenStream) -> TokenStream {
    let ident = &model.ident;
    let schema = quote!(<#ident as #rt::Synced>::SCHEMA);
    let mut checks = TokenStream::new();
    let columns = model.fields.iter().zip(&lines.fields).filter(|(field, _)| field.is_column());
    for (n, (field, line)) in columns.enumerate() {
        let Some(line) = line else { continue };
        let column = Column::of_field(field, line, rt);
        checks.extend(column.readable(&|at| quote!(#schema.columns[#n].past[#at])));
    }
    let removed = model.removed.iter().zip(&lines.removed).filter(|(gone, _)| !gone.rule().has_elements());
    for (n, (gone, line)) in removed.enumerate() {
        let column = Column::of_removed(gone, line, rt);
        checks.extend(column.readable(&|at| quote!(#schema.removed[#n][#at + 1])));
        // A required column that came later had a backfill, with which older versions read rows without it.
        let Some(ty) = gone.ty.as_ref().filter(|_| gone.filler.is_none() && gone.begins() == 1) else { continue };
        let (name, version) = (&gone.name.text, gone.version.version);
        let message = format!(
            "'{name}' was removed, but devices on version {} can't show a row without it\n\
             help: write `removed({name}: {} = .., in = {version})`, with what they read instead, or without the type \
             if the column had a default",
            version - 1,
            shown(&ty.to_token_stream()),
        );
        if gone.rule() == Rule::Lww {
            checks.extend(assertion(ty.span(), &quote!(#schema.removed[#n][0].nullable), &message, rt));
        }
    }
    checks
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
        let ty = match line.rule {
            Rule::Text => quote!(#rt::String),
            // What the table has of it.
            _ if field.encrypted.is_some() => quote!(#rt::Option<#rt::Vec<#rt::u8>>),
            _ => field.ty.to_token_stream(),
        };
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
            (Some((with, _)), _) => {
                quote!(#rt::Past::taken(#names, #versions, #with, #change))
            }
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
            Made::Rule { back, .. } => {
                let back = back.is_some();
                quote!(#rt::Change::Rule { back: #back })
            }
            Made::Upgraded { .. } => {
                let value = Ident::new("value", Span::mixed_site());
                let (with, back) = self.functions(at).unwrap_or_default();
                let back = back
                    .map_or_else(|| quote!(#rt::None), |back| quote!(#rt::Some(|#value| #rt::convert(#value, #back))));
                quote!(#rt::Change::Upgraded { with: |#value| #rt::convert(#value, #with), back: #back })
            }
        }
    }

    /// What rustc makes sure of; `past` is the form with this place, newest first.
    fn readable(&self, past: &dyn Fn(usize) -> TokenStream) -> TokenStream {
        let (rt, steps) = (self.rt, &self.line.steps);
        let mut checks = TokenStream::new();
        for (at, step) in steps.iter().enumerate() {
            let Made::Upgraded { from, with, back, .. } = &step.made else { continue };
            let (from, version) = (&from.text, step.version.version);
            if back.is_none() {
                let form = past(steps.len() - 1 - at);
                let message = format!(
                    "'upgrade' of '{from}' has no way back: devices on version {} couldn't show rows that version \
                     {version} creates\n\
                     help: write `upgrade({from}, with = {}, back = |new| ..)`, with a value that they can read",
                    version - 1,
                    shown(with),
                );
                checks.extend(assertion(step.key.span(), &quote!(#form.nullable), &message, rt));
            }
            let next = self.line.upgrade_after(at + 1);
            if let Some(next) = next
                && let (Some((made, _)), Some((taken, _))) = (self.functions(at), self.functions(next))
            {
                let message = format!(
                    "version {version} doesn't make of '{from}' what version {} takes\n\
                     help: `with` takes the type that the `with` before it returns, or one stored as the same",
                    steps[next].version.version,
                );
                let holds = quote!(#rt::chained(#made, #taken));
                checks.extend(assertion(steps[next].key.span(), &holds, &message, rt));
            }
        }
        checks
    }

    /// The functions of an upgrade. The field's type says what the last one makes, and each the types of the one back.
    fn functions(&self, at: usize) -> Option<(TokenStream, Option<TokenStream>)> {
        let rt = self.rt;
        let new = match &self.ty {
            Some(ty) if self.line.upgrade_after(at + 1).is_none() => ty.clone(),
            _ => quote!(_),
        };
        let Made::Upgraded { with, back, .. } = &self.line.steps.get(at)?.made else { return None };
        // Spanned at the function, so that rustc says there that it takes what no column holds.
        let here = |tokens: TokenStream| tokens.into_iter().map(|token| located(token, with.span()));
        let call = |name: &str, arguments: TokenStream| {
            let name = Ident::new(name, Span::call_site());
            let (begin, end) = (here(quote!(#rt::#name::<_,)), here(quote!(>(#arguments))));
            quote!(#(#begin)* #new #(#end)*)
        };
        let with = call("one", with.clone());
        let Some(back) = back else { return Some((with, None)) };
        let both = call("both", quote!(#with, #back));
        let [there, back] = [quote!(.0), quote!(.1)].map(|place| {
            let place = here(place);
            quote!(#both #(#place)*)
        });
        Some((there, Some(back)))
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
