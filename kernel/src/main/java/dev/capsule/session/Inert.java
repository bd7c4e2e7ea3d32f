package dev.capsule.session;

import java.util.regex.Pattern;

/// Text that front ends render, with what could run, load or lead somewhere in it taken apart by a space. Front ends
/// differ in what they take for code, so it is done everywhere: in a code block it shows, but does not change what the
/// code means in most languages.
final class Inert {
    private Inert() {}

    /// TeX commands that set links, attributes and styles, load extensions, or give another command a name that is not
    /// known here.
    private static final String TEX = "\\\\(?=(?:href|url|require|class|cssId|style|data|mmlToken|bbox|unicode|"
            + "includegraphics|html(?:Class|Id|Style|Data)|[gex]?def|let|futurelet|(?:re)?newcommand|providecommand|"
            + "(?:re)?newenvironment|DeclareMathOperator|DeclarePairedDelimiters?X*(?:PP)?|Newextarrow|csname|char|"
            + "special|catcode)(?![A-Za-z]))";

    /// Where a tag, a comment or an entity-like declaration begins.
    private static final String TAG = "<(?=[A-Za-z/!?])";

    private static final Pattern IN_TEX = Pattern.compile(TEX + "|" + TAG);

    /// Beside those: links, pictures, and the definitions that links refer to; and what JupyterLab puts in the place of
    /// mathematics while it renders, by which text would get into attributes.
    private static final Pattern IN_MARKDOWN = Pattern.compile(TEX + "|" + TAG + "|\\](?=[(:])|@(?=@)");

    static String tex(String text) {
        return IN_TEX.matcher(text).replaceAll("$0 ");
    }

    static String markdown(String text) {
        return IN_MARKDOWN.matcher(text).replaceAll("$0 ");
    }
}
