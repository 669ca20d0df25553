//! The words of a script: what the lexer hands to the parser.

use crate::ast::IntLit;
use crate::span::Span;

/// A word with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it stands.
    pub span: Span,
    /// Whether only blanks and comments stand before it on its line.
    pub first_on_line: bool,
}

/// A comment; comments are kept beside the tokens, for the formatter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comment {
    /// Where it stands, `//` or `/*` included, line end not.
    pub span: Span,
    /// Whether only blanks stand before it on its line.
    pub first_on_line: bool,
}

macro_rules! token_kinds {
    (
        words { $($(#[$word_doc:meta])* $word:ident $word_text:literal;)* }
        marks { $($mark:ident $mark_text:literal;)* }
    ) => {
        /// A reserved word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Keyword { $($word,)* }

        impl Keyword {
            /// The word that is spelled so.
            pub fn from_text(text: &str) -> Option<Keyword> {
                match text {
                    $($word_text => Some(Keyword::$word),)*
                    _ => None,
                }
            }

            /// As written.
            pub fn text(self) -> &'static str {
                match self { $(Keyword::$word => $word_text,)* }
            }
        }

        /// A punctuation mark or operator.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Mark { $($mark,)* }

        impl Mark {
            /// All of them, longer ones before their own beginnings.
            pub const ALL: &'static [(Mark, &'static str)] = &[$((Mark::$mark, $mark_text),)*];

            /// As written.
            pub fn text(self) -> &'static str {
                match self { $(Mark::$mark => $mark_text,)* }
            }
        }
    };
}

token_kinds! {
    words {
        Break "break";
        Comptime "comptime";
        Config "config";
        Continue "continue";
        Else "else";
        Enum "enum";
        False "false";
        Fn "fn";
        For "for";
        If "if";
        Import "import";
        Let "let";
        Macro "macro";
        Offsetof "offsetof";
        Return "return";
        Sizeof "sizeof";
        Struct "struct";
        True "true";
        Typeinfo "typeinfo";
        Typeof "typeof";
        Union "union";
        Unroll "unroll";
        While "while";
    }
    marks {
        ShiftLeftAssign "<<=";
        ShiftRightAssign ">>=";
        AddAssign "+=";
        SubtractAssign "-=";
        MultiplyAssign "*=";
        DivideAssign "/=";
        RemainderAssign "%=";
        AndAssign "&=";
        OrAssign "|=";
        XorAssign "^=";
        ShiftLeft "<<";
        ShiftRight ">>";
        LessEqual "<=";
        GreaterEqual ">=";
        Equal "==";
        NotEqual "!=";
        And "&&";
        Or "||";
        Increment "++";
        Decrement "--";
        Arrow "->";
        Range "..";
        LeftBrace "{";
        RightBrace "}";
        LeftParen "(";
        RightParen ")";
        LeftBracket "[";
        RightBracket "]";
        Semicolon ";";
        Comma ",";
        Colon ":";
        Question "?";
        Dot ".";
        Assign "=";
        Less "<";
        Greater ">";
        Plus "+";
        Minus "-";
        Star "*";
        Slash "/";
        Percent "%";
        Ampersand "&";
        Pipe "|";
        Caret "^";
        Tilde "~";
        Bang "!";
    }
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A name that is not reserved.
    Ident,
    /// A reserved word.
    Keyword(Keyword),
    /// `$name`
    Variable,
    /// `@` or `@name`
    Map,
    /// `$1`
    Param(u32),
    /// `$#`
    ParamCount,
    /// An integer or a duration.
    Int(IntLit),
    /// A string, quotes included.
    Str,
    /// Punctuation.
    Mark(Mark),
    /// The `#!` line.
    Shebang,
    /// A whole preprocessor line, without the `//` comment behind it.
    Directive,
    /// The lines of a branch of `#if` that is not taken.
    Inactive,
    /// Plain text in a probe definition.
    PatternText,
    /// Quoted text in a probe definition.
    PatternString,
    /// Text that is no token; a diagnostic says why.
    Error,
    /// The end of the text.
    End,
}

impl TokenKind {
    /// One word for the kind, for printing.
    pub fn label(self) -> &'static str {
        match self {
            TokenKind::Ident => "name",
            TokenKind::Keyword(_) => "keyword",
            TokenKind::Variable => "variable",
            TokenKind::Map => "map",
            TokenKind::Param(_) => "param",
            TokenKind::ParamCount => "param-count",
            TokenKind::Int(_) => "int",
            TokenKind::Str => "string",
            TokenKind::Mark(_) => "mark",
            TokenKind::Shebang => "shebang",
            TokenKind::Directive => "directive",
            TokenKind::Inactive => "inactive",
            TokenKind::PatternText => "pattern",
            TokenKind::PatternString => "pattern-string",
            TokenKind::Error => "error",
            TokenKind::End => "end",
        }
    }
}
