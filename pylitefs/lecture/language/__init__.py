"""What a lesson may say: Markdown, and in it blocks of commands.

    lesson.py (prose and steps) --> grammar.py, grammar_expect.py (a line to a command) --> commands.py

The rule: every line is understood, or refused with its number and what could stand there, before the first
node starts. It knows nothing else of the lecture. Read commands.py first: it is the whole vocabulary;
words.py has the names in it, safe_html.py makes prose that is safe to show.
"""
