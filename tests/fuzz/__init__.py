"""The fuzz job: damaged recordings of every format, thousands of them, none of which may do harm.

    make fuzz                                              20,000 inputs
    PYTHONPATH=tests python -m fuzz --seed 7 --inputs 500  others
    PYTHONPATH=tests python -m fuzz --seed 7 --only 123    one of them, again, with its traceback

Each input is a seed (`seeds`: every shipped recording, the same cut down, files written by hand, files that
hypothesis draws) with some damage (`mutations`, `text_mutations`, `packed`), and goes through the whole of ingest.
It must give a capture that counts what is missing, or one line of RecordingError (`judge`). A crash, a hang, more than
1 GB of memory, any other exception and a silent success are failures (`workers`): their input is kept, and the number
that makes it again is printed. All follows from the two numbers; nothing is random.
"""
