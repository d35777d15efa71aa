"""The style of a picture, light and dark."""

#: One style for the picture alone and in a page; a picture is light or dark as its reader's system is.
STYLE = """
.xg-p{font-family:Helvetica,Arial,'DejaVu Sans',sans-serif;font-size:12px}
.xg-p .paper{fill:#fff}.xg-p text{fill:#1f2328}
.xg-p .wire{fill:none;stroke:#6e7781;stroke-width:1.2}
.xg-p .carry{stroke:#8250df;stroke-width:2.2}.xg-p .back{stroke:#8250df;stroke-dasharray:5 4}
.xg-p .gate{fill:#eef3fb;stroke:#31527a;stroke-width:1.3}
.xg-p .card{fill:#f6f8fa;stroke:#8c959f}.xg-p .input{fill:#fff8e6;stroke:#b08800}
.xg-p .closed{fill:#f3effd;stroke:#8250df;stroke-width:1.3}
.xg-p .frame{fill:#8250df;fill-opacity:.05;stroke:#8250df;stroke-dasharray:2 3}
.xg-p .outside{fill:none;stroke:#8c959f;stroke-dasharray:3 3}
.xg-p .name{font-style:italic}.xg-p .head{font-weight:bold}
.xg-p .value{fill:#0a7d33}.xg-p .grad{fill:#c0262d}.xg-p .dim{fill:#57606a;font-size:10px}
.xg-p .heat{image-rendering:pixelated}
@media (prefers-color-scheme:dark){
.xg-p .paper{fill:#0d1117}.xg-p text{fill:#e6edf3}.xg-p .wire{stroke:#848d97}
.xg-p .gate{fill:#16243a;stroke:#79a8e8}.xg-p .card{fill:#161b22;stroke:#6e7681}
.xg-p .input{fill:#2b2411;stroke:#d4a72c}.xg-p .closed{fill:#231a38;stroke:#a884f3}
.xg-p .frame{stroke:#a884f3}.xg-p .carry,.xg-p .back{stroke:#a884f3}
.xg-p .value{fill:#4ac26b}.xg-p .grad{fill:#ff7b72}.xg-p .dim{fill:#9198a1}
}
"""
