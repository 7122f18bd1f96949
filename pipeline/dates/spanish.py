"""The Spanish words for times, of Spain and of the Americas."""

from __future__ import annotations

from pipeline.dates.expression import UNITS
from pipeline.dates.words import Kind, Vocabulary

_WEEKDAYS = {
    0: "lunes, lun",
    1: "martes, mar, mart",
    2: "miércoles, mie, mier",
    3: "jueves, jue",
    4: "viernes, vie",
    5: "sábado, sab",
    6: "domingo, dom",
}

SPANISH = Vocabulary(
    {
        Kind.WEEKDAY: _WEEKDAYS,
        Kind.NUMBERED_WEEKDAY: {True: ", ".join(_WEEKDAYS.values())},
        Kind.MONTH: {
            1: "enero, ene",
            2: "febrero, feb",
            3: "marzo, mar",
            4: "abril, abr",
            5: "mayo, may",
            6: "junio, jun",
            7: "julio, jul",
            8: "agosto, ago",
            9: "septiembre, setiembre, sep, sept, set",
            10: "octubre, oct",
            11: "noviembre, nov",
            12: "diciembre, dic",
        },
        Kind.NAMED_DAY: {
            -2: "anteayer, antes de ayer, antier",
            -1: "ayer",
            0: "hoy",
            1: "mañana",
            2: "pasado mañana",
            7: "de hoy en ocho, hoy en ocho",
        },
        Kind.HOLIDAY: {
            (1, 1): "año nuevo",
            (1, 6): "reyes, día de reyes",
            (12, 24): "nochebuena",
            (12, 25): "navidad, día de navidad",
            (12, 31): "nochevieja, fin de año",
        },
        Kind.NUMBER: {
            0: "cero",
            1: "un, una, uno",
            2: "dos",
            3: "tres",
            4: "cuatro",
            5: "cinco",
            6: "seis",
            7: "siete",
            8: "ocho",
            9: "nueve",
            10: "diez",
            11: "once",
            12: "doce",
            13: "trece",
            14: "catorce",
            15: "quince",
            16: "dieciséis",
            17: "diecisiete",
            18: "dieciocho",
            19: "diecinueve",
            20: "veinte",
            21: "veintiuno, veintiuna, veintiún",
            22: "veintidós",
            23: "veintitrés",
            24: "veinticuatro",
            25: "veinticinco",
            26: "veintiséis",
            27: "veintisiete",
            28: "veintiocho",
            29: "veintinueve",
            30: "treinta",
            40: "cuarenta",
            50: "cincuenta",
            60: "sesenta",
            70: "setenta",
            80: "ochenta",
            90: "noventa",
        },
        Kind.ORDINAL: {
            1: "primero, primer, primera",
            2: "segundo, segunda",
            3: "tercero, tercer, tercera",
            4: "cuarto, cuarta",
            5: "quinto, quinta",
        },
        Kind.UNIT: {
            UNITS["second"]: "segundo, segundos, seg, segs",
            UNITS["minute"]: "minuto, minutos, min, mins, minutito, minutitos, m",
            UNITS["hour"]: "hora, horas, h, hs, hrs, horita, horitas",
            UNITS["day"]: "día, días",
            UNITS["week"]: "semana, semanas",
            UNITS["fortnight"]: "quincena",
            UNITS["month"]: "mes, meses",
            UNITS["year"]: "año, años",
        },
        Kind.PERIOD: {
            "weeks": "semana",
            "weekends": "fin de semana, finde, finde semana, fines de semana",
            "months": "mes",
            "years": "año",
        },
        Kind.PART: {
            "early": "temprano, tempranito, primera hora, a primera hora, a primera hora de la mañana",
            "morning": (
                "de la mañana, por la mañana, en la mañana, a la mañana, madrugada, de la madrugada, la mañana"
            ),
            "noon": "mediodía, medio día",
            "lunch": "hora de comer, hora del almuerzo, almuerzo",
            "after lunch": "después de comer, después del almuerzo, después de almorzar",
            "afternoon": "tarde, sobremesa",
            "day's end": ("fin del día, final del día, final de la tarde, última hora, a última hora, fin de jornada"),
            "night": "noche, anochecer",
            "midnight": "medianoche, media noche",
        },
        Kind.TODAYS_PART: {
            (-1, "night"): "anoche",
            (0, "night"): "esta noche",
            (0, "morning"): "esta mañana",
        },
        Kind.MERIDIEM: {0: "am, a m", 12: "pm, p m"},
        Kind.OFFSET: {
            -1: "pasado, pasada, último, última",
            0: "este, esta, de este, de esta",
            1: "próximo, próxima, que viene, q viene, siguiente, que entra, entrante",
        },
        Kind.LAST: {True: "último, última"},
        Kind.EDGE: {
            "start": (
                "principio de, principios de, principios del, principio del, inicio de, inicio del, "
                "inicios de, comienzo de, comienzo del, comienzos de"
            ),
            "middle": "mediados de, mediados del, mitad de, mitad del",
            "end": "fin de, fin del, final de, final del, fines de, fines del, finales de, finales del",
        },
        Kind.COUPLE: {2: "par de", 3: "pocos, pocas"},
        Kind.HALF: {True: "media, medio"},
        Kind.QUARTER: {True: "cuarto, cuartos"},
        Kind.AND: {True: "y, e"},
        Kind.WITH: {True: "y"},
        Kind.TOWARD: {True: "para, para la, para las, pa las"},
        Kind.MINUS: {True: "menos"},
        Kind.OCLOCK: {True: "en punto"},
        Kind.FROM: {True: "desde, entre, del, de las, a partir, a partir de"},
        Kind.BETWEEN: {True: "entre"},
        Kind.TO: {True: "a, al, hasta, hasta la, hasta las"},
        Kind.IN: {True: "en, dentro de, de aquí a"},
        Kind.FOR: {True: "por, durante, con duración de"},
        Kind.ON: {True: "a partir, a partir de, desde"},
        Kind.AGO: {True: "atrás"},
        Kind.SINCE: {True: "hace"},
        Kind.BEFORE: {True: "antes, antes de"},
        Kind.AFTER: {True: "después, después de, tras"},
        Kind.NOW: {True: "ahora, ya, ahora mismo, ahorita, inmediatamente"},
        Kind.SOON: {True: "más tarde, luego, en un rato, al rato, más luego, después"},
        Kind.ARTICLE: {True: "un, una"},
        Kind.THE: {True: "el, del, al"},
        Kind.AT: {True: "las, la, de las, hasta las, hasta la, para las, para la"},
        Kind.DAY_WORD: {True: "día, próximo día"},
        Kind.FILLER: {
            True: (
                "a, al, el, la, las, los, de, del, de las, en, por, para, para la, para las, "
                "sobre, sobre las, hacia, hacia las, y pico, hasta, hasta la, hasta las, a eso "
                "de, alrededor de, cerca de, como, como a, más o menos, aproximadamente, a partir, a "
                "partir de, empezando, empezando a, empieza, desde, entre, por favor, todo el día, el día "
                "entero, más tarde, luego, mismo, día, que es, unas, con, tipo, horario, lo"
            )
        },
    }
)
