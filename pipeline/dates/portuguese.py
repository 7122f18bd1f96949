"""The Portuguese words for times, of Brazil and of Portugal."""

from __future__ import annotations

from pipeline.dates.expression import UNITS
from pipeline.dates.words import Kind, Vocabulary

_WEEKDAYS = {
    0: "segunda, segunda feira, seg, 2a feira",
    1: "terça, terça feira, ter, 3a feira",
    2: "quarta, quarta feira, qua, 4a feira",
    3: "quinta, quinta feira, qui, 5a feira",
    4: "sexta, sexta feira, sex, 6a feira",
    5: "sábado, sab",
    6: "domingo, dom",
}

PORTUGUESE = Vocabulary(
    {
        Kind.WEEKDAY: _WEEKDAYS,
        Kind.NUMBERED_WEEKDAY: {True: ", ".join(_WEEKDAYS.values())},
        Kind.MONTH: {
            1: "janeiro, jan",
            2: "fevereiro, fev",
            3: "março, mar",
            4: "abril, abr",
            5: "maio, mai",
            6: "junho, jun",
            7: "julho, jul",
            8: "agosto, ago",
            9: "setembro, set",
            10: "outubro, out",
            11: "novembro, nov",
            12: "dezembro, dez",
        },
        Kind.NAMED_DAY: {
            -2: "anteontem, antes de ontem",
            -1: "ontem",
            0: "hoje, hj",
            1: "amanhã, amanha, amnh, amh",
            2: "depois de amanhã, dps de amanha, depois d amanha",
            7: "de hoje a oito, de hoje a oito dias, hoje a oito",
        },
        Kind.HOLIDAY: {
            (1, 1): "ano novo, dia de ano novo",
            (12, 24): "véspera de natal, consoada",
            (12, 25): "natal, dia de natal",
            (12, 31): "véspera de ano novo, réveillon, passagem de ano",
        },
        Kind.NUMBER: {
            0: "zero",
            1: "um, uma, à uma",
            2: "dois, duas",
            3: "três",
            4: "quatro",
            5: "cinco",
            6: "seis, meia dúzia",
            7: "sete",
            8: "oito",
            9: "nove",
            10: "dez",
            11: "onze",
            12: "doze",
            13: "treze",
            14: "catorze, quatorze",
            15: "quinze",
            16: "dezasseis, dezesseis",
            17: "dezassete, dezessete",
            18: "dezoito",
            19: "dezanove, dezenove",
            20: "vinte",
            30: "trinta",
            40: "quarenta",
            50: "cinquenta, cinqüenta",
            60: "sessenta",
            70: "setenta",
            80: "oitenta",
            90: "noventa",
        },
        Kind.ORDINAL: {
            1: "primeiro, primeira",
            2: "segundo",
            3: "terceiro, terceira",
            4: "quarto",
            5: "quinto",
        },
        Kind.UNIT: {
            UNITS["second"]: "segundo, segundos, seg, segs",
            UNITS["minute"]: "minuto, minutos, min, mins, minutinho, minutinhos, m",
            UNITS["hour"]: "hora, horas, h, hs, hrs, horinha, horinhas",
            UNITS["day"]: "dia, dias",
            UNITS["week"]: "semana, semanas",
            UNITS["fortnight"]: "quinzena",
            UNITS["month"]: "mês, meses",
            UNITS["year"]: "ano, anos",
        },
        Kind.PERIOD: {
            "weeks": "semana",
            "weekends": "fim de semana, final de semana, fds, fins de semana",
            "months": "mês",
            "years": "ano",
        },
        Kind.PART: {
            "early": "cedo, cedinho, logo cedo, bem cedo, primeira hora, primeira coisa",
            "morning": "manhã, de manhã, madrugada, de madrugada",
            "noon": "meio dia",
            "lunch": "hora do almoço, hora de almoço, almoço",
            "after lunch": "depois do almoço, após o almoço, depois de almoço",
            "afternoon": "tarde",
            "day's end": (
                "fim do dia, final do dia, fim da tarde, final da tarde, fim de tarde, finzinho da tarde, "
                "final de tarde, fim do expediente, final do expediente"
            ),
            "night": "noite, noitinha",
            "midnight": "meia noite",
        },
        Kind.TODAYS_PART: {(0, "night"): "esta noite, essa noite, logo à noite"},
        Kind.MERIDIEM: {0: "am, a m", 12: "pm, p m"},
        Kind.OFFSET: {
            -1: "passado, passada, último, última",
            0: "este, esta, esse, essa, neste, nesta, nesse, nessa, deste, desta, desse, dessa",
            1: "próximo, próxima, que vem, q vem, seguinte, que entra",
        },
        Kind.LAST: {True: "último, última"},
        Kind.EDGE: {
            "start": (
                "início de, início do, início da, começo de, começo do, começo da, princípio de, princípio "
                "do, princípio da, inícios de, comecinho do"
            ),
            "middle": "meio de, meio do, meio da, meados de, meados do, meados da",
            "end": "fim de, fim do, fim da, final de, final do, final da, fins de, finais de, finalzinho do",
        },
        Kind.COUPLE: {2: "par de", 3: "poucos, poucas"},
        Kind.HALF: {True: "meia, meio"},
        Kind.QUARTER: {True: "quarto, quartos"},
        Kind.AND: {True: "e"},
        Kind.WITH: {True: "e"},
        Kind.TOWARD: {True: "para, para a, para as, pra, pra as, pras, p as"},
        Kind.MINUS: {True: "menos"},
        Kind.OCLOCK: {True: "em ponto"},
        Kind.FROM: {True: "das, desde, entre, a partir de, a partir das"},
        Kind.BETWEEN: {True: "entre"},
        Kind.TO: {True: "à uma, a, ao, à, às, aos, até, ate a, até às, até ao, até o, até as"},
        Kind.IN: {True: "em, daqui a, daqui, dentro de, daqui por, dali a"},
        Kind.FOR: {True: "por, durante, com duração de, cerca de"},
        Kind.ON: {True: "a partir de, a contar de"},
        Kind.AGO: {True: "atrás"},
        Kind.SINCE: {True: "há"},
        Kind.BEFORE: {True: "antes de, antes do, antes da, antes das"},
        Kind.AFTER: {True: "depois de, depois do, depois da, depois das, após, após o, após as"},
        Kind.NOW: {True: "agora, já, agora mesmo, imediatamente"},
        Kind.SOON: {True: "mais tarde, daqui a pouco, daqui a bocado, logo mais, depois"},
        Kind.ARTICLE: {True: "um, uma"},
        Kind.AT: {True: "as, das, pelas, até às, para as, pras"},
        Kind.DAY_WORD: {True: "dia, próximo dia"},
        Kind.FILLER: {
            True: (
                "a, o, as, os, ao, aos, em, no, na, nos, nas, de, da, do, das, dos, dia, pela, pelo, "
                "pelas, ainda, para, para a, para as, para o, pra, pro, pras, por, por volta de, por volta das, "
                "lá, lá pelas, cerca de, cerca das, até, até a, até às, até ao, até o, a partir de, a "
                "partir das, começando, começando às, começa, desde, entre, por favor, logo, mais ou "
                "menos, aproximadamente, o dia todo, dia todo, dia inteiro, o dia inteiro, mais tarde, "
                "que é, sobre as, umas, ali, com, horário, feira"
            )
        },
    }
)
