//! Attributes as they are written: `#[synced(key, key = value, key(list))]`.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{AngleBracketedGenericArguments, Attribute, Expr, Ident, Meta, Path, Token, parenthesized, parse2};

use crate::ctxt::Ctxt;

/// One option of an attribute.
pub(crate) struct Opt {
    /// The option's name.
    pub(crate) key: Ident,
    /// What follows it.
    pub(crate) form: Form,
}

/// What follows an option's name.
pub(crate) enum Form {
    /// Nothing.
    Word,
    /// `= value`
    Value(TokenStream),
    /// `(list)`
    List(TokenStream),
}

impl Opt {
    /// The option's name as text; `r#type` is `type`.
    pub(crate) fn name(&self) -> String {
        self.key.unraw().to_string()
    }

    /// Expects that nothing follows.
    pub(crate) fn word(&self, cx: &mut Ctxt) {
        match &self.form {
            Form::Word => {}
            Form::Value(rest) | Form::List(rest) => {
                let key = self.name();
                cx.help(
                    if rest.is_empty() { self.key.to_token_stream() } else { rest.clone() },
                    format_args!("'{key}' takes no value"),
                    format_args!("write `{key}`"),
                );
            }
        }
    }

    /// Expects `= value` and gives its tokens.
    pub(crate) fn value(&self, cx: &mut Ctxt, example: &str) -> Option<TokenStream> {
        match &self.form {
            Form::Value(value) => Some(value.clone()),
            Form::Word | Form::List(_) => {
                let key = self.name();
                cx.help(&self.key, format_args!("'{key}' needs a value"), format_args!("write `{key} = {example}`"));
                None
            }
        }
    }

    /// Expects `= value` with a value of this syntax.
    pub(crate) fn parsed<T: Parse>(&self, cx: &mut Ctxt, what: &str, example: &str) -> Option<T> {
        let value = self.value(cx, example)?;
        let parsed = parse2(value.clone()).ok();
        if parsed.is_none() {
            let key = self.name();
            cx.help(value, format_args!("'{key}' needs {what}"), format_args!("write `{key} = {example}`"));
        }
        parsed
    }

    /// Expects `= path`, where the path may also be written as text.
    pub(crate) fn path(&self, cx: &mut Ctxt) -> Option<Path> {
        if let Form::Value(value) = &self.form
            && let Ok(text) = parse2::<syn::LitStr>(value.clone())
            && let Ok(path) = text.parse_with(Path::parse_mod_style)
        {
            return Some(path);
        }
        self.parsed::<ModPath>(cx, "a path", "my_crate::cfost").map(|path| path.0)
    }

    /// Expects `= Model` and gives the model's path.
    pub(crate) fn model(&self, cx: &mut Ctxt) -> Option<Path> {
        self.parsed::<ModPath>(cx, "the name of a model", "Project").map(|path| path.0)
    }

    /// Expects `(a, b)` and gives the names.
    pub(crate) fn names(&self, cx: &mut Ctxt) -> Option<Vec<Ident>> {
        let parse =
            |input: ParseStream<'_>| Punctuated::<Ident, Token![,]>::parse_terminated_with(input, Ident::parse_any);
        if let Form::List(list) = &self.form
            && let Ok(names) = syn::parse::Parser::parse2(parse, list.clone())
            && !names.is_empty()
        {
            return Some(names.into_iter().collect());
        }
        let key = self.name();
        cx.help(
            &self.key,
            format_args!("'{key}' needs the names of fields"),
            format_args!("write `{key}(first, second)`"),
        );
        None
    }
}

/// A path without generic arguments, which may begin with `crate`.
struct ModPath(Path);

impl Parse for ModPath {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Path::parse_mod_style(input).map(Self)
    }
}

impl Parse for Opt {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key = Ident::parse_any(input)?;
        let form = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Form::Value(expression(input)?)
        } else if input.peek(syn::token::Paren) {
            let list;
            parenthesized!(list in input);
            Form::List(list.parse()?)
        } else {
            Form::Word
        };
        Ok(Self { key, form })
    }
}

/// The tokens of the expression that comes next. What syn can't parse without its `full` feature
/// (blocks, closures) goes on to the next comma that is neither among a closure's parameters nor among generic
/// arguments.
pub(crate) fn expression(input: ParseStream<'_>) -> syn::Result<TokenStream> {
    let ends = |at: ParseStream<'_>| at.is_empty() || at.peek(Token![,]);
    if ends(input) {
        return Err(input.error("expected a value after `=`"));
    }
    let mut tokens = TokenStream::new();
    if input.peek(Token![move]) || input.peek(Token![|]) {
        parameters(input, &mut tokens)?;
    }
    let fork = input.fork();
    let simple = fork.parse::<Expr>().is_ok() && ends(&fork);
    while if simple { input.cursor() != fork.cursor() } else { !ends(input) } {
        if !simple && input.peek(Token![::]) && input.peek2(Token![<]) {
            input.parse::<AngleBracketedGenericArguments>()?.to_tokens(&mut tokens);
        } else {
            tokens.extend([input.parse::<TokenTree>()?]);
        }
    }
    Ok(tokens)
}

/// What a closure has before its body.
fn parameters(input: ParseStream<'_>, tokens: &mut TokenStream) -> syn::Result<()> {
    input.parse::<Option<Token![move]>>()?.to_tokens(tokens);
    input.parse::<Token![|]>()?.to_tokens(tokens);
    while !input.peek(Token![|]) {
        tokens.extend([input.parse::<TokenTree>()?]);
    }
    input.parse::<Token![|]>()?.to_tokens(tokens);
    Ok(())
}

/// The options of all attributes with this name.
pub(crate) fn options(attrs: &[Attribute], name: &str, cx: &mut Ctxt) -> Vec<Opt> {
    let mut options = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident(name)) {
        let example = if name == "crdt" { "#[crdt(counter)]" } else { "#[synced(..)]" };
        match &attr.meta {
            Meta::List(list) if list.tokens.is_empty() => {
                cx.help(
                    attr.path(),
                    format_args!("`#[{name}()]` says nothing"),
                    format_args!("write `{example}` or remove it"),
                );
            }
            Meta::List(list) => {
                options.extend(
                    cx.ok(list.parse_args_with(Punctuated::<Opt, Token![,]>::parse_terminated)).into_iter().flatten(),
                );
            }
            Meta::Path(_) | Meta::NameValue(_) => {
                cx.help(
                    &attr.meta,
                    format_args!("`{name}` needs its options in parentheses"),
                    format_args!("write `{example}`"),
                );
            }
        }
    }
    options
}

/// The tokens on one line, spaced by rules of our own: rustc's change with its versions, and the text is recorded.
pub(crate) fn shown(tokens: &TokenStream) -> String {
    let mut text = String::new();
    let (mut word, mut parameters) = (false, false);
    for token in tokens.clone() {
        let is_word = !matches!(token, TokenTree::Punct(_));
        match token {
            TokenTree::Ident(_) | TokenTree::Literal(_) => {
                if word {
                    text.push(' ');
                }
                text.push_str(&token.to_string());
            }
            TokenTree::Punct(punct) => {
                let (c, alone) = (punct.as_char(), punct.spacing() == Spacing::Alone);
                parameters ^= c == '|';
                let after = match c {
                    ',' | ';' => true,
                    ':' => alone && !text.ends_with(':'),
                    '|' => !parameters,
                    '>' => text.ends_with(['-', '=']),
                    '=' | '&' => alone && (word || text.ends_with(['=', '!', '<', '>', '&'])),
                    '+' | '-' | '*' | '/' | '%' => alone && word,
                    _ => false,
                };
                let binary = matches!(c, '+' | '-' | '*' | '/' | '%' | '=' | '&');
                let before = word && (binary || !alone && matches!(c, '!' | '|') || c == '|' && text.ends_with("move"));
                text.push_str(if before { " " } else { "" });
                text.push(c);
                text.push_str(if after { " " } else { "" });
            }
            TokenTree::Group(group) => {
                let inner = shown(&group.stream());
                let brace = if text.ends_with(' ') || text.is_empty() { "" } else { " " };
                text.push_str(&match group.delimiter() {
                    Delimiter::Parenthesis => format!("({inner})"),
                    Delimiter::Bracket => format!("[{inner}]"),
                    Delimiter::Brace => format!("{brace}{{ {} }}", inner.trim_end()),
                    Delimiter::None => inner,
                });
            }
        }
        word = is_word;
    }
    text.trim_end().to_owned()
}
